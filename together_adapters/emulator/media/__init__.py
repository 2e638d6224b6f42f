"""Images, audio and video, encoded without a library."""
