# Stand-in for the official redis image: Debian's server, the same user and paths.
FROM reengage-standin/debian:bookworm
RUN groupadd --gid 999 redis && useradd --uid 999 --gid 999 redis \
 && apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-server \
 && rm -rf /var/lib/apt/lists/* && install -d -o redis -g redis /data
USER redis
CMD ["redis-server"]
