"""The claim about growth towards the maximum margin: its trainings, its rows and its figure."""
