# What `astro dev start` builds: the project as an Astro project. Docker without Astro: docker-compose.yaml.
FROM astrocrpublic.azurecr.io/runtime:3.3-8
