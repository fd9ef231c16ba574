"""Networks in which every neuron serves one mode: margins, deaths, neurons."""
