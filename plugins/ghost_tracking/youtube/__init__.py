"""YouTube's Data API v3: one call (`calls`) and what its answer says (`answer`)."""
