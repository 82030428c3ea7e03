-- Who may do what: administrators run and configure, readers see gold.
CREATE APPLICATION ROLE IF NOT EXISTS app_admin;
CREATE APPLICATION ROLE IF NOT EXISTS app_reader;
