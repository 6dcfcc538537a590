"""``python -m benchmarks``: what a prompt and a stream cost; see ``cpu``."""

from benchmarks.cpu import main

if __name__ == "__main__":
    main()
