"""The corpus and the keyword index of the demo, which the recipes of the cookbook use too."""
