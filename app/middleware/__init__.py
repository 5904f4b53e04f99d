"""What stands around every request, one concern a file. Plain ASGI, so that streams stay streams."""
