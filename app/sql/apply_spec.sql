CREATE OR REPLACE PROCEDURE config.apply_spec(spec VARCHAR, dry_run BOOLEAN DEFAULT FALSE)
RETURNS VARIANT
LANGUAGE PYTHON
RUNTIME_VERSION = '3.11'
PACKAGES = ('snowflake-snowpark-python', 'pyyaml')
IMPORTS = (
    '/procedures/applying.py',
    '/procedures/arrival.py',
    '/procedures/calendars.py',
    '/procedures/catalogue.py',
    '/procedures/changes.py',
    '/procedures/checking.py',
    '/procedures/cleaning.py',
    '/procedures/cleaning_words.py',
    '/procedures/ddl.py',
    '/procedures/dimension_step.py',
    '/procedures/duplicates.py',
    '/procedures/explaining.py',
    '/procedures/expressions.py',
    '/procedures/fact_step.py',
    '/procedures/facts.py',
    '/procedures/faults.py',
    '/procedures/filing.py',
    '/procedures/formats.py',
    '/procedures/history.py',
    '/procedures/history_events.py',
    '/procedures/history_fast.py',
    '/procedures/loading.py',
    '/procedures/materialized.py',
    '/procedures/measures.py',
    '/procedures/names.py',
    '/procedures/pipeline.py',
    '/procedures/provenance.py',
    '/procedures/quarantine.py',
    '/procedures/reconciling.py',
    '/procedures/replaying.py',
    '/procedures/rewinding.py',
    '/procedures/runlog.py',
    '/procedures/runs.py',
    '/procedures/spec_checks.py',
    '/procedures/spec_columns.py',
    '/procedures/spec_examples.py',
    '/procedures/spec_file.py',
    '/procedures/spec_keys.py',
    '/procedures/spec_nodes.py',
    '/procedures/spec_source.py',
    '/procedures/spec_yaml.py',
    '/procedures/specs.py',
    '/procedures/sql_functions.py',
    '/procedures/steps.py',
    '/procedures/taskgraph.py',
    '/procedures/told.py',
    '/procedures/transform_example.py',
    '/procedures/transforming.py',
    '/procedures/turns.py',
    '/procedures/upkeep.py',
    '/procedures/watermark.py',
    '/procedures/writing.py'
)
HANDLER = 'pipeline.apply_spec'
COMMENT = 'Applies a pipeline file given as text; with dry_run, says what that would change'
EXECUTE AS OWNER;
GRANT USAGE ON PROCEDURE config.apply_spec(VARCHAR, BOOLEAN) TO APPLICATION ROLE app_admin;
