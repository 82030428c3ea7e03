-- The packaged pipeline that runs from the start; its tasks are created and resumed here.
-- Another one: CALL config.apply_packaged('online_retail');
CALL config.apply_packaged('retail');
