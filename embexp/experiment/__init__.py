"""One run: planned, checked, executed, recorded, resumed, compared with others."""
