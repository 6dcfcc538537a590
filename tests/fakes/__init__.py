"""Stand-ins for what warp-magics talks to: a provider, a store that goes away, a real store server."""
