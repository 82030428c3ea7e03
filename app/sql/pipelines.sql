-- Pipelines that are there get the tables and columns that this release asks for.
CALL config.renew_pipelines();

-- The packaged pipeline that runs from the start; its tasks are created and resumed here.
-- Who dropped it has no use for it: an upgrade does not bring it back, nor fail over tables that another has taken since.
-- Another one: CALL config.apply_packaged('online_retail');
CALL config.apply_packaged('retail', TRUE);
