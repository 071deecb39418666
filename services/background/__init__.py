"""Work that no request waits for: jobs that workers share, and the periodic tasks of each process."""
