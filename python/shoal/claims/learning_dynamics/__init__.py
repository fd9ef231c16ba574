"""The claims of *On the Learning Dynamics of Deep Neural Networks*, arXiv:1809.06848."""
