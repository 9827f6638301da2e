"""One module per runtime: find this project's part of it, make a session, run it."""
