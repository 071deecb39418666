"""History out and in: lines as text, what they mean, and how a file is read back."""
