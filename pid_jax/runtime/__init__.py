"""How a call runs: precision, threads, devices, processes, files, checks of arguments. Nothing about information."""
