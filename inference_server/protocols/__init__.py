"""One file per protocol, each a function from a request's body to rows and to the format of their predictions."""
