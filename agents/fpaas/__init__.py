"""FPaaS bench lab: the one package that runs on hosts and on the control node."""
