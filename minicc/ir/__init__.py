"""The kit every IR is built from: `node` makes interned nodes, `rewrite` holds rules as data."""
