"""Files of other tools that hold arrays, one format a file; nothing in a file is ever executed."""
