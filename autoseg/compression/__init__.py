"""Making trained networks smaller and faster: a network and its spec in, a smaller one and a report out."""
