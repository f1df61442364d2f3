"""What builds and lints the deployment."""
