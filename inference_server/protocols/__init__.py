"""One file per protocol, each a function from a call's body to rows and to the phrasing of their predictions."""
