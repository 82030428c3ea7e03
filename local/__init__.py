"""The account on a laptop: an emulated Snowflake, its S3, its scheduler, and the `firn` command. Never ships into Snowflake."""
