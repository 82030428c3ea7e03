-- Runs at install, at every upgrade and again after a failure: everything below may run twice.
EXECUTE IMMEDIATE FROM './sql/roles.sql';
EXECUTE IMMEDIATE FROM './sql/schemas.sql';
EXECUTE IMMEDIATE FROM './sql/control.sql';
EXECUTE IMMEDIATE FROM './sql/is_email.sql';
EXECUTE IMMEDIATE FROM './sql/run_pipeline.sql';
EXECUTE IMMEDIATE FROM './sql/run_step.sql';
EXECUTE IMMEDIATE FROM './sql/rebuild.sql';
EXECUTE IMMEDIATE FROM './sql/replay_quarantine.sql';
EXECUTE IMMEDIATE FROM './sql/correct_quarantine.sql';
EXECUTE IMMEDIATE FROM './sql/discard_quarantine.sql';
EXECUTE IMMEDIATE FROM './sql/restore_quarantine.sql';
EXECUTE IMMEDIATE FROM './sql/resume.sql';
EXECUTE IMMEDIATE FROM './sql/explain_row.sql';
EXECUTE IMMEDIATE FROM './sql/bind_bronze.sql';
EXECUTE IMMEDIATE FROM './sql/apply_packaged.sql';
EXECUTE IMMEDIATE FROM './sql/apply_spec.sql';
EXECUTE IMMEDIATE FROM './sql/pipelines.sql';
