-- How Snowflake reaches the bucket: it assumes an IAM role of yours, no keys are stored.
--   snow sql -f setup_sql/03_storage_integration.sql -D bucket=my-landing -D aws_account=111122223333
-- The role's name is known beforehand, so the order is: this script, then the role with the trust that DESC shows, done.
-- Never CREATE OR REPLACE: it changes the external id, and the role's trust no longer fits.
USE ROLE ACCOUNTADMIN;

CREATE STORAGE INTEGRATION IF NOT EXISTS firn_landing_s3
    TYPE = EXTERNAL_STAGE
    STORAGE_PROVIDER = 'S3'
    ENABLED = TRUE
    STORAGE_AWS_ROLE_ARN = 'arn:aws:iam::<% aws_account | default("123456789012") %>:role/firn-landing-reader'
    STORAGE_ALLOWED_LOCATIONS = ('s3://<% bucket | default("firn-landing") %>/')
    COMMENT = 'Firn: reads the landing bucket';

GRANT USAGE ON INTEGRATION firn_landing_s3 TO ROLE firn_loader;

-- For the role's trust policy: STORAGE_AWS_IAM_USER_ARN as principal, STORAGE_AWS_EXTERNAL_ID as sts:ExternalId.
DESC INTEGRATION firn_landing_s3;
