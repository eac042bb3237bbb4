"""RESULTS.md: recipes measured on real data, the rows they gave (JSON), and the code that runs and reports them."""
