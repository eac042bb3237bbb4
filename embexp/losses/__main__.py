"""`embexp losses <shape or name>`: the catalogue of losses and modifiers, from their YAML files."""

from embexp.losses.catalogue import main

if __name__ == "__main__":
    main()
