"""What the process shows of itself over HTTP, on loopback unless told otherwise."""
