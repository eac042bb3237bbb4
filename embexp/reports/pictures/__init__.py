"""One picture a module, all drawn with matplotlib."""
