CREATE OR REPLACE FUNCTION core.is_email(value VARCHAR)
RETURNS BOOLEAN
LANGUAGE PYTHON
RUNTIME_VERSION = '3.11'
PACKAGES = ('pandas')
IMPORTS = (
    '/procedures/validity.py'
)
HANDLER = 'validity.is_email'
COMMENT = 'Whether a text has the form of an e-mail address; FALSE for NULL';
GRANT USAGE ON FUNCTION core.is_email(VARCHAR) TO APPLICATION ROLE app_admin;
