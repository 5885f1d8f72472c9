-- What decided about the start (`target`, `rule …`, `fallthrough`, `override …`), and the entry of taskgate.ledger behind it; of
-- the last start in `dispatch`, of each run in `attempt`. NULL: started before there was a ledger.
ALTER TABLE taskgate.dispatch ADD COLUMN rule text, ADD COLUMN entry_id bigint;
ALTER TABLE taskgate.attempt ADD COLUMN stage text, ADD COLUMN rule text, ADD COLUMN entry_id bigint;
