"""What the user says: networks, tasks, initialisations, losses, methods, records, and the training that they make."""
