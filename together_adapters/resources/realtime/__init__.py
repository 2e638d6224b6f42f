"""Transcription while somebody speaks, over a websocket."""
