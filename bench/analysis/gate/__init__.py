"""Did a change make anything better or worse? Two sides of records in, one verdict a case and metric out."""
