CREATE OR REPLACE STREAMLIT core.console
    FROM '/console'
    MAIN_FILE = 'console.py'
    COMMENT = 'Runs, freshness, quarantine, accounts, history of a key, KPIs, cost'
    TITLE = 'Firn';
GRANT USAGE ON STREAMLIT core.console TO APPLICATION ROLE app_admin;
