"""From one shape of data to another, with labels that keep their meaning."""
