"""What a spec costs: a dated table of prices, and the arithmetic over it. Pure: nothing here asks AWS."""
