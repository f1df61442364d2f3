"""The Lambda functions. Handlers are a few lines each: what they do is in `relay`."""
