"""WSGI middleware around Flask: request id, cached responses, CORS, request limits, one log line a request."""
