"""The claims of *An analytic theory of shallow networks dynamics for hinge loss classification*, arXiv:2006.11209."""
