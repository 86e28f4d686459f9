with

flights as (

    select * from {{ ref('fct_flights') }}

),

observations as (

    select * from {{ ref('stg_airport_weather__observations') }}

),

-- Many flights to one observation. The hour is the UTC hour: when the clocks go back the local one comes twice.
final as (

    select
        flights.flight_date,
        flights.carrier_code,
        flights.flight_number,
        flights.origin_code,

        flights.scheduled_departure_at,
        observations.observed_at,

        observations.temperature_fahrenheit,
        observations.wind_speed_mph,
        observations.wind_gust_mph,
        observations.precipitation_inches,
        observations.visibility_miles,

        flights.departure_delay_minutes,
        flights.is_cancelled,
        observations.observed_at is not null as has_observation
    from flights
    left join observations
        on
            flights.origin_code = observations.airport_code
            and date_trunc('hour', flights.scheduled_departure_at, 'UTC') = observations.observed_at

)

select * from final
