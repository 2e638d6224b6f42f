"""The words of texts, and how similar texts are by them: what answers, vectors and ranks rest on."""
