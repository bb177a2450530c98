"""Portal: the service that patients use. Sealed letters, opting out, how they are written to."""
