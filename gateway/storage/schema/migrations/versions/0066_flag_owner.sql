-- Who holds the flag that a gateway follows: a file, LaunchDarkly, nobody. Null: a worker, or an older version.
ALTER TABLE taskgate.process ADD COLUMN flag_owner text;
