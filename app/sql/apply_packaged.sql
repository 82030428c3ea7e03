CREATE OR REPLACE PROCEDURE config.apply_packaged(pipeline VARCHAR)
RETURNS VARIANT
LANGUAGE PYTHON
RUNTIME_VERSION = '3.11'
PACKAGES = ('snowflake-snowpark-python', 'pyyaml')
IMPORTS = (
    '/procedures/alerting.py',
    '/procedures/applying.py',
    '/procedures/arrival.py',
    '/procedures/calendars.py',
    '/procedures/catalogue.py',
    '/procedures/cleaning.py',
    '/procedures/ddl.py',
    '/procedures/dimension_step.py',
    '/procedures/duplicates.py',
    '/procedures/explaining.py',
    '/procedures/expressions.py',
    '/procedures/fact_step.py',
    '/procedures/facts.py',
    '/procedures/faults.py',
    '/procedures/filing.py',
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
    '/procedures/spec_file.py',
    '/procedures/spec_nodes.py',
    '/procedures/specs.py',
    '/procedures/steps.py',
    '/procedures/sweeping.py',
    '/procedures/taskgraph.py',
    '/procedures/told.py',
    '/procedures/turns.py',
    '/procedures/upkeep.py',
    '/procedures/watermark.py',
    '/procedures/writing.py',
    '/pipelines/retail.yml',
    '/pipelines/online_retail.yml'
)
HANDLER = 'pipeline.apply_packaged'
COMMENT = 'Applies a pipeline file that ships with the app: tables, control rows, tasks'
EXECUTE AS OWNER;
GRANT USAGE ON PROCEDURE config.apply_packaged(VARCHAR) TO APPLICATION ROLE app_admin;
