"""Deploy: the jobs and health checks of docker-compose.yaml and deploy/kubernetes."""
