"""Plans: tenants moved wave by wave, which stops by itself."""
