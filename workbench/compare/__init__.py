"""Two or more values of one stage -> what differs."""
